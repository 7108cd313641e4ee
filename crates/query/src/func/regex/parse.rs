//! From the text of an expression to its tree.

use heliosdb_types::{Error, Result};
use regex_syntax::hir::{ClassUnicode, Look};

use super::lex::{Lexer, Token, begin};
use super::node::{Node, Repeat};
use super::{RegexOptions, class, invalid};

/// How deep parentheses may be nested.
const DEEPEST: usize = 250;

/// Reads an expression; its tree and how many groups it has.
pub(super) fn parse(pattern: &str, mut options: RegexOptions) -> Result<(Node, usize)> {
    let lexer = begin(pattern, &mut options)?;
    let mut parser = Parser { lexer, options, groups: 0, depth: 0 };
    let node = match options.literal {
        true => parser.literal(),
        false => parser.expression()?,
    };
    Ok((node, parser.groups))
}

struct Parser<'p> {
    lexer: Lexer<'p>,
    options: RegexOptions,
    groups: usize,
    depth: usize,
}

impl Parser<'_> {
    fn literal(&mut self) -> Node {
        let mut nodes = Vec::new();
        while let Some(c) = self.lexer.raw() {
            nodes.push(self.one(c));
        }
        Node::Concat(nodes)
    }

    fn one(&self, c: char) -> Node {
        self.set(class::one(c))
    }

    fn set(&self, set: ClassUnicode) -> Node {
        Node::Set(match self.options.case_insensitive {
            true => class::with_cases(&set),
            false => set,
        })
    }

    /// All branches up to the closing parenthesis, or to the end of the expression if none is open.
    fn expression(&mut self) -> Result<Node> {
        let (mut branches, mut branch, mut repeatable) = (Vec::new(), Vec::new(), false);
        loop {
            let token = self.lexer.token()?;
            let mut quantifiable = true;
            let node = match token {
                None if self.depth > 0 => return Err(invalid("parentheses () not balanced")),
                None => break,
                Some(Token::Close) if self.depth == 0 => return Err(invalid("parentheses () not balanced")),
                Some(Token::Close) => break,
                Some(Token::Bar) => {
                    branches.push(Node::Concat(std::mem::take(&mut branch)));
                    repeatable = false;
                    continue;
                }
                Some(Token::Repeat(min, max, preference)) => {
                    let of = branch.pop().filter(|_| repeatable);
                    let of = of.ok_or_else(|| invalid("quantifier operand invalid"))?;
                    quantifiable = false;
                    Node::Repeat(Box::new(Repeat { of, min, max, preference }))
                }
                Some(Token::Open(is_group)) => self.parentheses(is_group)?,
                Some(Token::Bracket) => self.brackets()?,
                Some(Token::Char(c)) => self.one(c),
                Some(Token::Any) => Node::Set(match self.options.dot_stops {
                    true => all_but(&class::one('\n')),
                    false => class::any(),
                }),
                // The names are known.
                Some(Token::Class(name, negated)) => Node::Set(members(name, negated)?),
                Some(look) => {
                    quantifiable = false;
                    Node::Look(self.look(&look)?)
                }
            };
            repeatable = quantifiable;
            branch.push(node);
        }
        let last = Node::Concat(branch);
        if branches.is_empty() {
            return Ok(last);
        }
        branches.push(last);
        Ok(Node::Alternation(branches))
    }

    fn look(&self, token: &Token) -> Result<Look> {
        Ok(match token {
            Token::LineStart if self.options.lines => Look::StartLF,
            Token::LineEnd if self.options.lines => Look::EndLF,
            Token::LineStart | Token::TextStart => Look::Start,
            Token::LineEnd | Token::TextEnd => Look::End,
            Token::WordStart => Look::WordStartUnicode,
            Token::WordEnd => Look::WordEndUnicode,
            Token::WordEdge => Look::WordUnicode,
            Token::NoWordEdge => Look::WordUnicodeNegate,
            other => return Err(Error::internal(format!("{other:?} is no condition"))),
        })
    }

    fn parentheses(&mut self, is_group: bool) -> Result<Node> {
        if self.depth == DEEPEST {
            return Err(super::too_complex());
        }
        let number = self.groups + 1;
        self.groups += usize::from(is_group);
        self.depth += 1;
        let inner = self.expression()?;
        self.depth -= 1;
        Ok(match is_group {
            true => Node::Group(number, Box::new(inner)),
            false => inner,
        })
    }

    /// What stands in brackets.
    fn brackets(&mut self) -> Result<Node> {
        let negated = self.lexer.take("^");
        let mut set = ClassUnicode::empty();
        let mut first = true;
        loop {
            match self.member(first)? {
                Member::End => break,
                Member::Range => return Err(invalid("invalid character range")),
                Member::Set(members) => {
                    set.union(&members);
                }
                Member::Char(from) => {
                    let is_range = !self.lexer.starts_with("-]") && self.lexer.take("-");
                    let members = match is_range {
                        false => class::one(from),
                        true => match self.member(false)? {
                            Member::Char(to) if from <= to => class::range(from, to),
                            Member::Range if from <= '-' => class::range(from, '-'),
                            _ => return Err(invalid("invalid character range")),
                        },
                    };
                    set.union(&match self.options.case_insensitive {
                        true => class::with_cases(&members),
                        false => members,
                    });
                }
            }
            first = false;
        }
        if negated {
            set = all_but(&set);
            if self.options.dot_stops {
                set.difference(&class::one('\n'));
            }
        }
        Ok(Node::Set(set))
    }

    fn member(&mut self, first: bool) -> Result<Member> {
        let c = self.lexer.raw().ok_or_else(|| invalid("brackets [] not balanced"))?;
        Ok(match c {
            ']' if !first => Member::End,
            '-' if first || self.lexer.peek() == Some(']') => Member::Char('-'),
            '-' => Member::Range,
            '\\' => match self.lexer.escape()? {
                Token::Char(c) => Member::Char(c),
                Token::Class(name, negated) => Member::Set(members(name, negated)?),
                _ => return Err(invalid("invalid escape \\ sequence")),
            },
            '[' => match self.lexer.peek() {
                Some(':') => {
                    let mut name = self.name(':')?;
                    if self.options.case_insensitive && matches!(name.as_str(), "lower" | "upper") {
                        name = "alpha".to_owned();
                    }
                    Member::Set(members(&name, false)?)
                }
                Some('=') => Member::Set(class::one(element(&self.name('=')?)?)),
                Some('.') => Member::Char(element(&self.name('.')?)?),
                _ => Member::Char('['),
            },
            plain => Member::Char(plain),
        })
    }

    /// What stands between `[:` and `:]`, or other marks.
    fn name(&mut self, mark: char) -> Result<String> {
        self.lexer.raw();
        let end = format!("{mark}]");
        let mut name = String::new();
        while !self.lexer.take(&end) {
            name.push(self.lexer.raw().ok_or_else(|| invalid("brackets [] not balanced"))?);
        }
        Ok(name)
    }
}

/// One member of brackets.
enum Member {
    Char(char),
    Set(ClassUnicode),
    /// A hyphen between two.
    Range,
    End,
}

fn members(name: &str, negated: bool) -> Result<ClassUnicode> {
    let set = class::named(name).ok_or_else(|| invalid("invalid character class"))?;
    Ok(if negated { all_but(set) } else { set.clone() })
}

fn all_but(set: &ClassUnicode) -> ClassUnicode {
    let mut rest = set.clone();
    rest.negate();
    rest
}

/// The character that a name of a collating element stands for.
fn element(name: &str) -> Result<char> {
    let mut chars = name.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(invalid("invalid collating element")),
    }
}
