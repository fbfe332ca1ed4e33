"""What a failed TLS handshake means, in words that say what to do."""

import ssl

EXPIRED = 10
WRONG_NAME = 62
"""OpenSSL's `X509_V_ERR_CERT_HAS_EXPIRED` and `X509_V_ERR_HOSTNAME_MISMATCH`."""


def tls_problem(error: BaseException) -> str:
    """Why a server isn't trusted, as sentences that follow its address; "" if the error isn't about that.

    Args:
        error: what a client raised; what TLS raised is among its causes.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return ""
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return "doesn't speak TLS as we do. Is its address one with http:// instead of https://?"
    said = f"has a certificate that isn't trusted ({cause.verify_message})."
    if cause.verify_code == EXPIRED:
        return f"{said} Renew it."
    if cause.verify_code == WRONG_NAME:
        return f"{said} Use an address that the certificate is made for."
    return (
        f"{said} Set SSL_CERT_FILE to a file with that certificate, or with its authority's, and with all others that "
        "you need (a public LLM's, too)."
    )
