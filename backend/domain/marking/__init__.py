"""Questions about spans: what rules and people marked in texts, what is learned of it, what is suggested."""
