//! Which gateways are told how much.

use blaupause_outbound::Reach;

/// What the operator allows of push gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushSettings {
    /// Gateways are told that something happened, not what: as if every pusher had asked for
    /// `event_id_only`.
    pub strip_content: bool,
    /// Hosts of the gateways that pushers may name, perhaps with a port; they may be anywhere.
    /// Empty: every gateway in a public network.
    pub allowed_gateways: Vec<String>,
    /// Gateways may be in any network.
    pub allow_private_addresses: bool,
}

impl PushSettings {
    /// How a gateway may be asked; `None`: not at all.
    pub(crate) fn reach(&self, url: &str) -> Option<Reach> {
        if self.allowed_gateways.is_empty() {
            let reach = if self.allow_private_addresses { Reach::Configured } else { Reach::Named };
            return Some(reach);
        }
        let uri = url.parse::<http::Uri>().ok()?;
        let authority = uri.authority()?;
        // Whoever hides another host before an `@` means no good.
        if authority.as_str().contains('@') {
            return None;
        }
        let is_allowed = self.allowed_gateways.iter().any(|allowed| {
            allowed.eq_ignore_ascii_case(authority.as_str())
                || (authority.port().is_none() && allowed.eq_ignore_ascii_case(authority.host()))
        });
        is_allowed.then_some(Reach::Configured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gateways_on_the_list_are_asked() {
        let settings = PushSettings {
            allowed_gateways: vec!["push.example.org".into(), "10.0.0.1:8080".into()],
            ..PushSettings::default()
        };
        let path = "/_matrix/push/v1/notify";
        for url in ["https://push.example.org", "https://PUSH.example.org", "http://10.0.0.1:8080"]
        {
            assert_eq!(settings.reach(&format!("{url}{path}")), Some(Reach::Configured), "{url}");
        }
        for url in [
            "https://push.example.org:444",
            "https://push.example.org@evil.example",
            "https://push.example.org.evil.example",
            "http://10.0.0.1",
            "https://evil.example",
        ] {
            assert_eq!(settings.reach(&format!("{url}{path}")), None, "{url}");
        }
    }

    #[test]
    fn without_a_list_gateways_must_be_public_unless_the_operator_says_otherwise() {
        let url = "https://push.example.org/_matrix/push/v1/notify";
        let mut settings = PushSettings::default();
        assert_eq!(settings.reach(url), Some(Reach::Named));
        settings.allow_private_addresses = true;
        assert_eq!(settings.reach(url), Some(Reach::Configured));
    }
}
