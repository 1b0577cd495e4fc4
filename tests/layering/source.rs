//! Reads Rust source as far as the layering rule needs it: the paths that a file names, each with its line.
//!
//! Comments and literals are skipped, `use` trees are spelt out, names are followed to what a `use` of the same file made
//! them, and `self`, `super` and `crate` are resolved. Macros are read like any other code. That is less than a compiler
//! does; what it cannot see is a name made by a macro.

use std::collections::HashMap;

/// One path that a file names, in full: `crate::policy::judge`, `tokio::time::Instant::now`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    pub line: usize,
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Every path that `source` names, in order. `module` is the module it stands in: `["crate", "grant", "decide"]`.
/// Keywords count as paths of one segment, so that `async` can be found.
pub fn mentions(module: &[&str], source: &str) -> Vec<Mention> {
    let tokens = tokens(source);
    let mut reader = Reader { tokens: &tokens, at: 0, found: Vec::new(), inline: Vec::new(), depth: 0 };
    reader.read(module);
    let (used, rest): (Vec<_>, Vec<_>) = reader.found.into_iter().partition(|found| found.alias.is_some());
    let names: HashMap<String, String> =
        used.iter().filter_map(|found| Some((found.alias.clone()?, found.path.join("::")))).collect();
    let mut all: Vec<Mention> = used.into_iter().map(|f| Mention { line: f.line, path: f.path.join("::") }).collect();
    all.extend(rest.into_iter().map(|found| {
        let tail = found.path.get(1..).unwrap_or_default();
        let path = match found.path.first().and_then(|first| names.get(first)) {
            Some(full) => std::iter::once(full).chain(tail).cloned().collect::<Vec<_>>().join("::"),
            None => found.path.join("::"),
        };
        Mention { line: found.line, path }
    }));
    all.sort_by_key(|mention| mention.line);
    all
}

struct Found {
    line: usize,
    path: Vec<String>,
    /// For a path in a `use`: the name that it goes by in this file.
    alias: Option<String>,
}

struct Reader<'t> {
    tokens: &'t [Token],
    at: usize,
    found: Vec<Found>,
    /// Modules written inside the file, and the depth of braces at which each ends.
    inline: Vec<(String, usize)>,
    depth: usize,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn read(&mut self, module: &[&str]) {
        while let Some(token) = self.tokens.get(self.at).cloned() {
            match token.text.as_str() {
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inline.retain(|(_, ends)| *ends <= self.depth);
                }
                "mod" if self.text(2) == "{" => {
                    self.depth += 1;
                    self.inline.push((self.text(1).to_owned(), self.depth));
                    self.at += 2;
                }
                "use"
                    if self.tokens.get(self.at + 1).is_some_and(|t| t.is_word() || t.text == "::" || t.text == "{") =>
                {
                    self.at += 1;
                    self.tree(&[], module);
                    continue;
                }
                _ if token.is_word() => {
                    let path = self.path();
                    let path = self.resolve(path, module);
                    self.found.push(Found { line: token.line, path, alias: None });
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// `a::b::c`, from where the reader stands.
    fn path(&mut self) -> Vec<String> {
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.tokens.get(self.at + 1).is_some_and(Token::is_word) {
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
        path
    }

    /// One branch of a `use` tree: `a::b`, `a::{b, c as d}`, `a::*`.
    fn tree(&mut self, before: &[String], module: &[&str]) {
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut path = before.to_vec();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.tree(&path, module);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    let alias = self.text(1).to_owned();
                    self.at += 2;
                    return self.used(line, path, Some(alias), module);
                }
                "," | "}" | ";" | "" => return self.used(line, path, None, module),
                word => {
                    path.push(word.to_owned());
                    self.at += 1;
                }
            }
        }
    }

    fn used(&mut self, line: usize, mut path: Vec<String>, alias: Option<String>, module: &[&str]) {
        // `use a::b::{self}` names `a::b`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let path = self.resolve(path, module);
        let alias = alias.or_else(|| path.last().cloned());
        self.found.push(Found { line, path, alias });
    }

    fn resolve(&self, path: Vec<String>, module: &[&str]) -> Vec<String> {
        if !matches!(path.first().map(String::as_str), Some("self" | "super")) || path.len() < 2 {
            return path;
        }
        let mut base: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
        base.extend(self.inline.iter().map(|(name, _)| name.clone()));
        let mut rest = path.as_slice();
        while let Some((first, tail)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" => {
                    base.pop();
                }
                _ => break,
            }
            rest = tail;
        }
        base.extend(rest.iter().cloned());
        base
    }
}

fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut i, mut line, mut out) = (0, 1, Vec::new());
    while i < chars.len() {
        let start = i;
        let began = line;
        match at(i) {
            '/' if at(i + 1) == '/' => i += chars[i..].iter().take_while(|c| **c != '\n').count(),
            '/' if at(i + 1) == '*' => i = end_of_comment(&chars, i),
            '"' => i = end_of_string(&chars, i + 1),
            '\'' if at(i + 1) == '\\' => i += 2 + chars[i + 3..].iter().take_while(|c| **c != '\'').count() + 2,
            '\'' if at(i + 2) == '\'' => i += 3,
            c if c.is_alphanumeric() || c == '_' => {
                let word: String = chars[i..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                i += word.chars().count();
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                    i = end_of_raw(&chars, i + hashes + 1, hashes);
                } else if word == "r" && hashes == 1 {
                    i += 1; // `r#type`: the word follows
                } else {
                    out.push(Token { line: began, text: word });
                }
            }
            ':' if at(i + 1) == ':' => {
                out.push(Token { line, text: "::".to_owned() });
                i += 2;
            }
            c => {
                if !c.is_whitespace() {
                    out.push(Token { line, text: c.to_string() });
                }
                i += 1;
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    out
}

fn end_of_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn end_of_string(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn end_of_raw(chars: &[char], mut i: usize, hashes: usize) -> usize {
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}
