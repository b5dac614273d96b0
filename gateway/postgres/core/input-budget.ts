/** What has been read of all clients together and is not answered yet: a bound for the process, however many clients there are. Pure. */
export class InputBudget<Client> {
  readonly #maxBytes: number;
  readonly #held = new Map<Client, number>();
  #total = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get totalBytes(): number {
    return this.#total;
  }

  /** A client holds so much now. @returns false when it is more than before and too much for all together */
  hold(client: Client, bytes: number): boolean {
    const before = this.#held.get(client) ?? 0;
    this.#total += bytes - before;
    if (bytes === 0) this.#held.delete(client);
    else this.#held.set(client, bytes);
    return bytes <= before || this.#total <= this.#maxBytes;
  }
}
