//! Where people reach the console: what messages link to.

use reqwest::Url;

/// The address of the console as people outside type it, without a path of its own or with the one
/// that a proxy adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// What it must be.
    pub fn parse(text: &str) -> Result<PublicUrl, &'static str> {
        const MUST: &str = "must be an address such as `https://faultline.example.net`";
        let url = Url::parse(text).map_err(|_| MUST)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(MUST);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user and password: it is sent to others");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must have no part after `?` or `#`: pages are added to it");
        }
        Ok(PublicUrl(url))
    }

    /// The address of a page; `path` begins with a slash.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str().trim_end_matches('/'))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_added_to_an_address_of_people() {
        for (public, link) in [
            ("https://noc.example.net", "https://noc.example.net/incidents/1"),
            ("https://noc.example.net/", "https://noc.example.net/incidents/1"),
            ("http://10.0.0.1:7480/f/", "http://10.0.0.1:7480/f/incidents/1"),
        ] {
            assert_eq!(PublicUrl::parse(public).unwrap().link("/incidents/1"), link);
        }
        for bad in ["", "noc.example.net", "ftp://a", "https://u:p@a", "https://a?b", "https://a#b"]
        {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
