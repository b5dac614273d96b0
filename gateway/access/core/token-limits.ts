/** Bounds on the checking of client tokens. Pure. */
export interface TokenLimits {
  /** Signatures of tokens checked at a time, on the threads that files are read with, too. */
  readonly tokenChecks: number;
  /** Tokens that may wait for that; each is checked once, and then known. */
  readonly tokenChecksWaiting: number;
}

export const defaultTokenLimits: TokenLimits = { tokenChecks: 4, tokenChecksWaiting: 10_000 };
