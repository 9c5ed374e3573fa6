//! Addresses that this server calls: of webhooks, and of its sign of life.

use std::fmt;

use reqwest::Url;

/// Longer ones are not taken by many servers.
const URL_BYTES_MAX: usize = 2_000;

/// An address of HTTP. Its path and query may be what lets one in, so it is shown only to
/// whom may change it.
#[derive(Clone)]
pub(crate) struct Address(Url);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host())
    }
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// What it must be.
    pub(crate) fn parse(text: &str) -> Result<Address, &'static str> {
        const MUST: &str = "must be an address such as `https://noc.example.net/faultline`";
        if URL_BYTES_MAX < text.len() {
            return Err("must be at most 2000 bytes long");
        }
        let url = Url::parse(text).map_err(|_| MUST)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(MUST);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user and password: messages are signed instead; \
                        put a token into the path or the query if the receiver needs one");
        }
        if url.fragment().is_some() {
            return Err("must not have a part after `#`: it is never sent");
        }
        Ok(Address(url))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// Scheme, name and port: what may be logged.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}", self.0.scheme())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_http_and_its_host_alone_is_shown() {
        let address = Address::parse("https://noc.example:8443/T0/secret?a=b").unwrap();
        assert_eq!(address.host(), "https://noc.example:8443");
        assert_eq!(format!("{address:?}"), "https://noc.example:8443");
        assert_eq!(address.as_str(), "https://noc.example:8443/T0/secret?a=b");
        assert_eq!(Address::parse("http://[::1]:80/").unwrap().host(), "http://[::1]");
        let long = format!("https://noc.example/{}", "a".repeat(URL_BYTES_MAX));
        for (bad, why) in [
            ("", "such as"),
            ("noc.example", "such as"),
            ("ftp://noc.example", "such as"),
            ("file:///etc/passwd", "such as"),
            ("https://", "such as"),
            ("https://ann:secret@noc.example/", "no user"),
            ("https://noc.example/#there", "`#`"),
            (long.as_str(), "2000 bytes"),
        ] {
            let error = Address::parse(bad).expect_err(bad);
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
