/** Ends an import or an export, with what to do in its message. `code` is the gateway's, when it gave one. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}
