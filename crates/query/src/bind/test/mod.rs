//! Binding tested with SQL text: plans and errors as text, and results over a shard in memory.

mod bench;
mod errors;
mod functions;
mod parameters;
mod queries;
mod tpch;
mod writes;
