//! The words of a query.

use super::{Fault, unit_ms};

/// One word, with what it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(f64),
    /// In milliseconds.
    Duration(i64),
    Text(String),
    /// A name, a keyword or a function.
    Name(String),
    /// A bracket, a comma or an operator.
    Sign(&'static str),
}

/// Longer ones first: the first that fits is taken.
const SIGNS: [&str; 24] = [
    "==", "!=", "=~", "!~", "<=", ">=", "(", ")", "{", "}", "[", "]", ",", "=", "<", ">", "+", "-",
    "*", "/", "%", "^", ":", "@",
];

/// Cuts a query into words.
///
/// # Errors
///
/// The first place that is no word.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '#' => {
                rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
                continue;
            }
            '"' | '\'' | '`' => quoted(rest, first)?,
            '0'..='9' => number(rest)?,
            '.' => number(rest)?,
            _ if first.is_ascii_alphabetic() || first == '_' => {
                let (name, after) = split(rest, |c| c.is_ascii_alphanumeric() || "_:".contains(c));
                (Token::Name(name.to_owned()), after)
            }
            _ => sign(rest)?,
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn split(text: &str, is_in: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_in(c)).unwrap_or(text.len()))
}

fn sign(text: &str) -> Result<(Token, &str), Fault> {
    let fits = |sign: &&&str| text.starts_with(**sign);
    let found = SIGNS.iter().find(fits).and_then(|sign| Some((sign, text.strip_prefix(sign)?)));
    let (sign, after) = found.ok_or_else(|| {
        let letter = text.chars().next().unwrap_or(' ');
        Fault::parse(format!("unexpected character {letter:?}"))
    })?;
    Ok((Token::Sign(sign), after))
}

/// A number, or a duration such as `1h30m`.
fn number(text: &str) -> Result<(Token, &str), Fault> {
    let bad = |word: &str| Fault::parse(format!("`{word}` is no number and no duration"));
    let (mut word, mut after) = split(text, |c| c.is_ascii_alphanumeric() || c == '.');
    // An exponent may have a sign.
    let has_sign = word.ends_with(['e', 'E']) && after.starts_with(['+', '-']);
    if has_sign && !word.starts_with("0x") {
        let (digits, _) = split(after.get(1..).unwrap_or_default(), |c| c.is_ascii_digit());
        let length = word.len() + 1 + digits.len();
        (word, after) = text.split_at_checked(length).ok_or_else(|| bad(word))?;
    }
    if let Some(digits) = word.strip_prefix("0x") {
        let value = u32::from_str_radix(digits, 16).map_err(|_| bad(word))?;
        return Ok((Token::Number(f64::from(value)), after));
    }
    let is_number = word.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    if is_number {
        let value = word.parse().map_err(|_| bad(word))?;
        return Ok((Token::Number(value), after));
    }
    let ms = duration_ms(word).ok_or_else(|| bad(word))?;
    Ok((Token::Duration(ms), after))
}

/// Reads a duration such as `5m` or `1h30m`, in milliseconds.
pub(super) fn duration_ms(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text, 0_i64);
    while !rest.is_empty() {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, next) = split(after, |c| c.is_ascii_alphabetic());
        let ms = digits.parse::<i64>().ok()?.checked_mul(unit_ms(unit)?)?;
        sum = sum.checked_add(ms)?;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

/// A text with the escapes of Go; between backticks it has none.
fn quoted(text: &str, quote: char) -> Result<(Token, &str), Fault> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => {
                let after = text.get(at + letter.len_utf8()..).unwrap_or_default();
                return Ok((Token::Text(value), after));
            }
            '\\' if quote != '`' => {
                let escaped = letters.next().map(|(_, escaped)| escaped);
                value.push(match escaped {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(same @ ('\\' | '"' | '\'')) => same,
                    Some(_) | None => {
                        return Err(Fault::parse("unknown escape sequence in a text"));
                    }
                });
            }
            _ => value.push(letter),
        }
    }
    Err(Fault::parse("unterminated quoted string"))
}
