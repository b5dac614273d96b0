/** Names one request until it is answered; only the shell knows the peer behind it. */
export type Caller = number;
