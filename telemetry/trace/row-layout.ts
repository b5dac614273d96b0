/**
 * How rows lie in bytes, one after the other, numbers little-endian:
 *
 * | row | bytes |
 * |---|---|
 * | span, commit | kind u8, whether it has a parent u8, shape u16, trace id 16, span id 8, parent's span id 8 (zeros without one), start f64, end f64, then the shape's numbers, f64 each |
 * | batch | kind u8, appends u8, then for each of them shape u16, start f64, end f64 |
 *
 * A commit is of the batch whose row came last. Times are microseconds. A shape is its place in a table that is told apart.
 */
export const rowKinds = { span: 0, batch: 1, commit: 2 } as const;

export const idBytes = { trace: 16, span: 8 } as const;

/** Places in the row of a span or a commit. */
export const spanPlaces = {
  hasParent: 1,
  shape: 2,
  traceId: 4,
  spanId: 20,
  parentSpanId: 28,
  start: 36,
  end: 44,
  numbers: 52,
} as const;
export const numberBytes = 8;

/** Places in the row of a batch. */
export const batchPlaces = { count: 1, appends: 2 } as const;
/** Places in one of its appends, and how long each is. */
export const appendPlaces = { shape: 0, start: 2, end: 10 } as const;
export const appendBytes = 18;
/** Appends of one batch. */
export const appendsMax = 255;
