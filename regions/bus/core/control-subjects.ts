/** Where the control record lies in NATS, and what is said about it there. */

/** The bucket of a cluster's control record, and the stream it lies in. */
export const controlBucket = (cluster: string): string => `sextant-${cluster}-control`;
export const streamName = (bucket: string): string => `KV_${bucket}`;
export const controlStream = (cluster: string): string => streamName(controlBucket(cluster));
export const recordSubject = (bucket: string): string => `$KV.${bucket}.control`;
/** Says that the record has changed, to who would else learn it at the next look. */
export const hintSubject = (cluster: string): string => `sextant.${cluster}.control`;
