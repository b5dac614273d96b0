/** Where a request's W3C `traceparent` comes from when it is not in a header: a SQL comment, sqlcommenter style. */

const pattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;
const comment = /traceparent=(?:'|%27)([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?:'|%27)/;

/** The header value when it is a usable `traceparent` (version `ff` and all-zero ids are not), else null. */
export function validTraceparent(value: string | null | undefined): string | null {
  if (value === null || value === undefined || value.length > 512 || !pattern.test(value)) return null;
  if (value.startsWith('ff-')) return null;
  const traceId = value.slice(3, 35);
  const spanId = value.slice(36, 52);
  return /^0+$/.test(traceId) || /^0+$/.test(spanId) ? null : value;
}

/**
 * The `traceparent` in a comment that leads or trails the SQL text, or null. A text inside a string literal is
 * not taken: only the first or the last comment is looked at.
 */
export function traceparentOfSql(sql: string): string | null {
  if (!sql.includes('traceparent=')) return null;
  const text = sql.trim();
  if (text.startsWith('/*')) {
    const end = text.indexOf('*/');
    const found = end < 0 ? null : comment.exec(text.slice(0, end));
    if (found !== null) return validTraceparent(found[1]);
  }
  const body = text.replace(/[;\s]+$/, '');
  if (body.endsWith('*/')) {
    const found = comment.exec(body.slice(body.lastIndexOf('/*')));
    if (found !== null) return validTraceparent(found[1]);
  }
  return null;
}
