"""What AWS KMS, or the way to it, says when there is no signature, in this project's errors."""

from __future__ import annotations

from botocore import exceptions

from alikassa.errors import AlikassaError, CertificateError, ConfigurationError, NetworkError

__all__ = ["translated"]

_CREDENTIALS = "Check AWS_ACCESS_KEY_ID and its kin, or the role of this machine; aws sts get-caller-identity tells."

#: By KMS's own code: what is wrong with the key, and what to do.
_KEY = {
    "NotFoundException": ("There is no such key.", "Check the id or alias, the region and the AWS account."),
    "DisabledException": ("The key is disabled.", "Enable it: aws kms enable-key --key-id KEY"),
    "KMSInvalidStateException": (
        "The key is in no state to sign: disabled, or to be deleted.",
        "Look at it: aws kms describe-key --key-id KEY",
    ),
    "InvalidKeyUsageException": (
        "The key is not for signing, or not an RSA key.",
        "Make one of the kind RSA_2048 for SIGN_VERIFY.",
    ),
    "UnsupportedOperationException": ("The key cannot sign.", "Make one of the kind RSA_2048 for SIGN_VERIFY."),
    "ValidationException": (
        "The key cannot make this signature, or its name is malformed.",
        "Name an RSA key for SIGN_VERIFY by its id, its ARN or alias/NAME.",
    ),
    "InvalidArnException": ("The ARN is malformed, or of another region.", "Check the ARN and the region."),
}
#: By KMS's own code: what is wrong with the caller.
_CALLER = {
    "AccessDeniedException": (
        "These AWS credentials may not use the key.",
        "Allow kms:Sign for it (kms:GetPublicKey, too, for a diagnosis).",
    ),
    "UnrecognizedClientException": ("AWS does not know these credentials.", _CREDENTIALS),
    "InvalidClientTokenId": ("AWS does not know these credentials.", _CREDENTIALS),
    "InvalidSignatureException": ("AWS refuses these credentials.", f"{_CREDENTIALS} Check the clock, too."),
    "IncompleteSignature": ("AWS refuses these credentials.", _CREDENTIALS),
    "MissingAuthenticationToken": ("AWS got no credentials.", _CREDENTIALS),
    "ExpiredTokenException": ("The AWS credentials have expired.", "Sign in again, or renew the session."),
    "OptInRequired": ("The AWS account does not use KMS in this region.", "Check the region."),
}


def translated(error: exceptions.BotoCoreError | exceptions.ClientError | ValueError, key: str) -> AlikassaError:
    """CertificateError for the key, ConfigurationError for who asks, NetworkError, which may be tried again, for KMS
    and the way there. A ValueError is what AWS's library has against an endpoint that is no address."""
    if isinstance(error, exceptions.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _KEY:
            what, remedy = _KEY[code]
            return CertificateError(f"AWS KMS does not sign with {key}. {what}", remedy=remedy)
        if code in _CALLER:
            what, remedy = _CALLER[code]
            return ConfigurationError(f"AWS KMS does not sign with {key}. {what}", remedy=remedy)
        return NetworkError(f"AWS KMS does not sign with {key} just now ({code[:100] or 'it gives no reason'}).")
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return NetworkError(
            f"AWS KMS does not answer ({type(error).__name__}).",
            remedy="Check the network, and AWS_ENDPOINT_URL if it is set.",
        )
    if isinstance(error, exceptions.NoRegionError):
        return ConfigurationError("The AWS region is not known.", remedy="Set AWS_REGION, or name the key by its ARN.")
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return ConfigurationError("There are no AWS credentials, or not all of them.", remedy=_CREDENTIALS)
    return ConfigurationError(f"AWS's settings cannot be used: {error}", remedy=_CREDENTIALS)
