//! Reads Rust source just well enough to count it: which bytes are code, where functions begin and
//! end, which parts are tests.
//!
//! Deliberately not a parser: it needs no dependency, and a file that does not parse is the
//! compiler's finding, not ours.

use std::ops::Range;

/// A Rust file with its comments and literals blanked out.
pub(crate) struct Source {
    /// As long as the original, with line breaks in place; only code is left.
    code: Vec<u8>,
    /// Byte ranges of `#[cfg(test)]` modules.
    tests: Vec<Range<usize>>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(text: &str) -> Source {
        let code = blank(text.as_bytes());
        let tests = test_modules(&code);
        Source { code, tests }
    }

    /// The code, line by line, with numbers from 1 and whether the line is a test's.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut at = 0;
        self.code.split(|byte| *byte == b'\n').enumerate().map(move |(index, line)| {
            let is_test = self.tests.iter().any(|range| range.contains(&at));
            at += line.len() + 1;
            (index + 1, std::str::from_utf8(line).unwrap_or_default(), is_test)
        })
    }

    /// Lines outside of test modules.
    pub(crate) fn product_lines(&self) -> usize {
        self.lines().filter(|(.., is_test)| !is_test).count()
    }

    /// Calls of functions whose name ends in `name`: line, path as written, argument text, whether
    /// in a test.
    pub(crate) fn calls(&self, name: &str) -> Vec<(usize, String, String, bool)> {
        let mut found = Vec::new();
        for at in words(&self.code, name) {
            let mut open = at + name.len();
            if self.code.get(open..open + 3) == Some(b"::<") {
                open = closing(&self.code, open + 2, b'<', b'>').map_or(open, |end| end + 1);
            }
            if self.code.get(open) != Some(&b'(') {
                continue;
            }
            let Some(end) = closing(&self.code, open, b'(', b')') else {
                continue;
            };
            let is_path = |byte: &u8| is_word(*byte) || *byte == b':';
            let before = self.code.get(..at).unwrap_or_default();
            let length = before.iter().rev().take_while(|byte| is_path(byte)).count();
            let path = text(&self.code, at - length..at + name.len());
            let arguments = text(&self.code, open + 1..end);
            let is_test = self.tests.iter().any(|range| range.contains(&at));
            if !before.ends_with(b"fn ") {
                found.push((line_of(&self.code, at), path, arguments, is_test));
            }
        }
        found
    }

    /// What is named right behind `root::`, alone or in a list, outside of tests: line and name.
    pub(crate) fn named_in(&self, root: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in words(&self.code, root) {
            let open = at + root.len() + 2;
            let is_path = self.code.get(at + root.len()..open) == Some(b"::");
            if !is_path || self.tests.iter().any(|range| range.contains(&at)) {
                continue;
            }
            let starts = match self.code.get(open) {
                Some(b'{') => list_starts(&self.code, open),
                _ => vec![open],
            };
            for start in starts {
                let rest = self.code.get(start..).unwrap_or_default();
                let length = rest.iter().take_while(|byte| is_word(**byte)).count();
                if 0 < length {
                    found.push((line_of(&self.code, start), text(rest, 0..length)));
                }
            }
        }
        found
    }

    /// Every function that has a body, tests included.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let rest = self.code.get(at + 2..).unwrap_or_default();
            let rest = rest.strip_prefix(b" ").unwrap_or_default();
            let length = rest.iter().take_while(|byte| is_word(**byte)).count();
            if length == 0 {
                continue; // A function type, `fn(u8)`.
            }
            let name = text(rest, 0..length);
            let Some(open) = body_start(&self.code, at) else {
                continue;
            };
            let Some(end) = closing(&self.code, open, b'{', b'}') else {
                continue;
            };
            let line = line_of(&self.code, at);
            found.push(Function { name, line, lines: line_of(&self.code, end) - line + 1 });
        }
        found
    }
}

fn text(code: &[u8], range: Range<usize>) -> String {
    String::from_utf8_lossy(code.get(range).unwrap_or_default()).into_owned()
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn line_of(code: &[u8], at: usize) -> usize {
    1 + code.iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// Where `word` stands as a whole word.
fn words<'a>(code: &'a [u8], word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.windows(word.len()).enumerate().filter_map(move |(at, window)| {
        let is_whole = window == word.as_bytes()
            && !at.checked_sub(1).and_then(|i| code.get(i)).is_some_and(|byte| is_word(*byte))
            && !code.get(at + word.len()).is_some_and(|byte| is_word(*byte));
        is_whole.then_some(at)
    })
}

/// Where the entries of the list in braces at `open` begin; lists in it are passed over.
fn list_starts(code: &[u8], open: usize) -> Vec<usize> {
    let end = closing(code, open, b'{', b'}').unwrap_or(code.len());
    let (mut depth, mut is_start, mut starts) = (0_usize, false, Vec::new());
    for (at, byte) in code.iter().enumerate().take(end).skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            byte if byte.is_ascii_whitespace() => continue,
            _ if is_start => starts.push(at),
            _ => (),
        }
        is_start = depth == 1 && matches!(byte, b'{' | b',');
    }
    starts
}

/// The bracket that closes the one at `open`.
fn closing(code: &[u8], open: usize, opens: u8, closes: u8) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(open) {
        if *byte == opens {
            depth += 1;
        } else if *byte == closes {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// The `{` of the function at `at`; `None` if it is only declared.
fn body_start(code: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => (),
        }
    }
    None
}

fn test_modules(code: &[u8]) -> Vec<Range<usize>> {
    let attribute = b"#[cfg(test)]";
    let starts = code.windows(attribute.len()).enumerate();
    let starts = starts.filter_map(|(at, window)| (window == attribute).then_some(at));
    let module = |at: usize| {
        let rest = code.get(at + attribute.len()..)?.trim_ascii_start();
        let is_module = [b"mod ".as_slice(), b"pub mod ", b"pub(crate) mod "]
            .iter()
            .any(|start| rest.starts_with(start));
        let open = body_start(code, at + attribute.len())?;
        is_module.then_some(at..closing(code, open, b'{', b'}')? + 1)
    };
    starts.filter_map(module).collect()
}

/// Blanks comments, strings and characters; keeps line breaks and the quotes of strings.
fn blank(text: &[u8]) -> Vec<u8> {
    let mut code = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let follows_word = at.checked_sub(1).and_then(|i| text.get(i)).is_some_and(|b| is_word(*b));
        let (length, keeps) = token(rest, follows_word);
        for (index, byte) in rest.iter().take(length).enumerate() {
            let is_edge = keeps || (*byte == b'"' && (index == 0 || index + 1 == length));
            let is_kept = *byte == b'\n' || (is_edge && byte.is_ascii());
            code.push(if is_kept { *byte } else { b' ' });
        }
        at += length.max(1);
    }
    code
}

/// The length of the token that begins here, and whether it is code.
fn token(rest: &[u8], follows_word: bool) -> (usize, bool) {
    let until = |end: &[u8], from: usize| {
        let tail = rest.get(from..).unwrap_or_default();
        let found = tail.windows(end.len()).position(|window| window == end);
        found.map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with(b"//") {
        return (rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with(b"/*") {
        return (comment(rest), false);
    }
    if rest.starts_with(b"\"") {
        return (quoted(rest, b'"'), false);
    }
    if rest.starts_with(b"'") {
        return character(rest);
    }
    if !follows_word {
        for prefix in [b"r".as_slice(), b"br", b"cr"] {
            let Some(tail) = rest.strip_prefix(prefix) else {
                continue;
            };
            let hashes = tail.iter().take_while(|byte| **byte == b'#').count();
            if tail.get(hashes) == Some(&b'"') {
                let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
                return (until(&end, prefix.len() + hashes + 1), false);
            }
        }
    }
    (1, true)
}

/// A block comment; they nest.
fn comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(pair) = rest.get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if *byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character literal, or the tick of a lifetime.
fn character(rest: &[u8]) -> (usize, bool) {
    if rest.get(1) == Some(&b'\\') {
        return (quoted(rest, b'\''), false);
    }
    let tail = String::from_utf8_lossy(rest.get(1..).unwrap_or_default().get(..4).unwrap_or(b""));
    let first = tail.chars().next().map_or(1, char::len_utf8);
    match rest.get(1 + first) {
        Some(b'\'') => (first + 2, false),
        _ => (1, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        String::from_utf8(blank(text.as_bytes())).expect("ASCII")
    }

    #[test]
    fn comments_strings_and_characters_are_not_code() {
        assert_eq!(code("a // b {"), "a       ");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"f("}", b'{', '\'', "\"{")"#), r#"f(" ", b   ,     , "   ")"#);
        assert_eq!(code("g(r#\"}\"{\"#)h"), "g(        )h");
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(code("let c = 'é'; {"), "let c =     ; {");
    }

    #[test]
    fn functions_are_counted_from_signature_to_brace() {
        let source = Source::new(
            "trait T {\n fn only_declared(&self);\n}\ntype F = fn(u8);\n\
             fn long(\n a: [u8; 2],\n) -> u8\nwhere u8: Copy,\n{\n \"}\";\n a[0]\n}\n",
        );
        let expected = Function { name: "long".to_owned(), line: 5, lines: 8 };
        assert_eq!(source.functions(), [expected]);
    }

    #[test]
    fn test_modules_do_not_count_as_product() {
        let source =
            Source::new("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n");
        let tests: Vec<usize> =
            source.lines().filter(|(.., is_test)| *is_test).map(|(line, ..)| line).collect();
        assert_eq!(tests, [2, 3, 4, 5]);
        assert_eq!(source.product_lines(), 3);
    }

    #[test]
    fn calls_carry_path_and_arguments() {
        let source = Source::new("fn channel() {}\nlet x = mpsc::channel::<Vec<u8>>(f(1), 64);");
        let calls = source.calls("channel");
        assert_eq!(calls, [(2, "mpsc::channel".to_owned(), "f(1), 64".to_owned(), false)]);
    }
}
