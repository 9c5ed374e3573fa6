//! As much of XML as GraphML needs: elements, attributes, text. Read from front to back, nothing
//! kept.
//!
//! No document types, no entities but the five of XML and numbers, so nothing can expand.

/// Elements within each other; GraphML needs five.
const DEPTH_MAX: usize = 32;

/// What comes next in a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// `<name a="b">`; a lone `<name/>` is an open and a close.
    Open {
        name: &'a str,
        attributes: Vec<(&'a str, String)>,
    },
    Close {
        name: &'a str,
    },
    Text(String),
}

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) reason: String,
}

/// Reads events off a text.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    open: Vec<&'a str>,
    /// The close of a lone element.
    pending: Option<&'a str>,
    has_root: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0, open: Vec::new(), pending: None, has_root: false }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    fn fault<T>(&self, reason: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { offset: self.at, reason: reason.into() })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The text up to a mark, which is stepped over.
    fn until(&mut self, mark: &str) -> Result<&'a str, Fault> {
        let rest = self.rest();
        match rest.split_once(mark) {
            Some((before, _)) => {
                self.at += before.len() + mark.len();
                Ok(before)
            }
            None => self.fault(format!("the document ends before `{mark}`")),
        }
    }

    /// The next event; `None` at the end of a whole document.
    pub(super) fn next(&mut self) -> Result<Option<Event<'a>>, Fault> {
        if let Some(name) = self.pending.take() {
            return Ok(Some(Event::Close { name }));
        }
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return match self.open.last() {
                    Some(name) => self.fault(format!("the document ends inside `{name}`")),
                    None if !self.has_root => self.fault("the document is empty"),
                    None => Ok(None),
                };
            }
            if rest.starts_with("<?") {
                self.until("?>")?;
            } else if rest.starts_with("<!--") {
                self.until("-->")?;
            } else if rest.starts_with("<!") {
                return self.fault("document types and CDATA are not read");
            } else if rest.starts_with("</") {
                return self.close().map(Some);
            } else if rest.starts_with('<') {
                return self.element().map(Some);
            } else {
                let text = rest.split('<').next().unwrap_or_default();
                self.at += text.len();
                let is_blank = text.trim().is_empty();
                if !is_blank && self.open.is_empty() {
                    return self.fault("text outside of any element");
                }
                if !is_blank {
                    return Ok(Some(Event::Text(self.unescape(text)?)));
                }
            }
        }
    }

    fn close(&mut self) -> Result<Event<'a>, Fault> {
        self.at += 2;
        let name = self.until(">")?.trim();
        match self.open.pop() {
            Some(open) if open == name => Ok(Event::Close { name }),
            Some(open) => self.fault(format!("`{name}` closes where `{open}` is open")),
            None => self.fault(format!("`{name}` closes and was never open")),
        }
    }

    fn element(&mut self) -> Result<Event<'a>, Fault> {
        self.at += 1;
        let is_end = |c: char| c.is_whitespace() || c == '>' || c == '/';
        let name = self.rest().split(is_end).next().unwrap_or_default();
        if name.is_empty() {
            return self.fault("an element without a name");
        }
        self.at += name.len();
        let mut attributes = Vec::new();
        let is_lone = loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("/>") {
                self.at += 2;
                break true;
            }
            if trimmed.starts_with('>') {
                self.at += 1;
                break false;
            }
            attributes.push(self.attribute()?);
        };
        self.has_root = true;
        if is_lone {
            self.pending = Some(name);
        } else if DEPTH_MAX <= self.open.len() {
            return self.fault(format!("more than {DEPTH_MAX} elements within each other"));
        } else {
            self.open.push(name);
        }
        Ok(Event::Open { name, attributes })
    }

    fn attribute(&mut self) -> Result<(&'a str, String), Fault> {
        let name = self.until("=")?.trim();
        if name.is_empty() || name.contains(['<', '>', '"', '\'']) {
            return self.fault("an attribute without a name or value");
        }
        let rest = self.rest();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        let quote = match trimmed.chars().next() {
            Some('"') => "\"",
            Some('\'') => "'",
            _ => return self.fault(format!("the value of `{name}` is not in quotes")),
        };
        self.at += 1;
        let value = self.until(quote)?;
        Ok((name, self.unescape(value)?))
    }

    fn unescape(&self, text: &str) -> Result<String, Fault> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('&') {
            out.push_str(before);
            let Some((name, after)) = after.split_once(';') else {
                return self.fault("an `&` without its `;`");
            };
            let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
            let character = match name {
                "lt" => Some('<'),
                "gt" => Some('>'),
                "amp" => Some('&'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
                    (Some(digits), _) => number(digits, 16).and_then(char::from_u32),
                    (None, Some(digits)) => number(digits, 10).and_then(char::from_u32),
                    (None, None) => None,
                },
            };
            match character {
                Some(character) => out.push(character),
                None => return self.fault(format!("`&{name};` is not read")),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}
