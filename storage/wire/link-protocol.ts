/**
 * What two processes of a cluster agree on before they exchange messages: the headers of the upgrade, the refusals and
 * the bounds. A link is one WebSocket; its messages are opaque binary.
 */

/** Raised when a message format changes so that older processes could misread it. */
export const linkVersion = 1;

/** Path of the upgrade request. */
export const linkPath = '/link';

export const linkHeaders = {
  cluster: 'x-sextant-cluster',
  version: 'x-sextant-version',
  /** The version of Sextant that the caller runs. One from before it was told leaves it out. */
  release: 'x-sextant-release',
  authorization: 'authorization',
} as const;

export type LinkRefusalCode =
  /** The secrets differ: fix the configuration of one side. */
  | 'LINK_SECRET_WRONG'
  /** The address belongs to another cluster. */
  | 'LINK_CLUSTER_MISMATCH'
  /** The certificates of the two do not allow it: one is another process's, or of another cluster, region or role. */
  | 'IDENTITY_REFUSED'
  /** The port takes TLS: the caller has no `identity` in its configuration. */
  | 'TLS_REQUIRED'
  /** The processes are of versions that do not understand each other, or need not (S63). */
  | 'LINK_VERSION_MISMATCH'
  /** The server holds as many links as it may; trying again later is right. */
  | 'LINK_TOO_MANY'
  /** The server is shutting down; trying again later is right. */
  | 'LINK_CLOSING'
  /** The server is coming up and takes no links yet; trying again later is right. */
  | 'LINK_STARTING'
  /** Something answered that is no Sextant process, or no process of this version. */
  | 'LINK_NOT_SEXTANT';

/** Refusals of a process that comes or goes: they pass by themselves, and nobody has to put anything right. */
export const passingRefusals: ReadonlySet<LinkRefusalCode> = new Set(['LINK_STARTING', 'LINK_CLOSING']);

export interface LinkRefusal {
  readonly status: number;
  readonly code: LinkRefusalCode;
  readonly message: string;
}

/** Why an open link ended. Only `closed-here` is what this side asked for. */
export interface LinkClose {
  readonly kind:
    | 'closed-here'
    | 'closed-by-peer'
    | 'peer-silent'
    | 'back-pressure'
    | 'protocol-error'
    | 'socket-error';
  readonly message: string;
}

export interface LinkBounds {
  /** Longest message either side may send; a longer one closes the link. */
  readonly messageBytesMax: number;
  /** Bytes sent that the peer has not taken yet, above which the link is closed. */
  readonly bufferedBytesMax: number;
  /** A peer that sends nothing for this long is pinged, and again each time as long has passed. */
  readonly pingMs: number;
  /** Times `pingMs` without a single byte from the peer after which it counts as dead. */
  readonly silencesMax: number;
}

export const linkBoundsDefault: LinkBounds = {
  messageBytesMax: 16 * 1024 * 1024,
  bufferedBytesMax: 64 * 1024 * 1024,
  pingMs: 500,
  silencesMax: 4,
};
