//! Golden tests of binding.
