/** Why nobody answered at an address, in words that say what to do. */

/** What TLS says of a certificate whose authority this machine does not know. */
const unknownAuthority = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

const trust =
  "no authority known here has issued its certificate: name the deployment's with NODE_EXTRA_CA_CERTS=…/ca.pem, or with --identity";

/** @param error what `fetch` or a request threw; its innermost cause says most. */
export function whySilent(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  const code = 'code' in cause ? String(cause.code) : '';
  if (unknownAuthority.has(code)) return trust;
  if (
    code === 'EPROTO' ||
    code === 'ERR_SSL_WRONG_VERSION_NUMBER' ||
    code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG'
  )
    return 'it speaks no TLS: try http:// instead of https://';
  return cause.message === '' && error instanceof Error ? error.message : cause.message;
}
