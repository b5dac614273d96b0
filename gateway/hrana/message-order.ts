/**
 * Messages of one socket in the order they came, although some take a while: the token of a hello is checked on another thread,
 * and what a client sends right behind it must not be judged by what counted before.
 */
export class MessageOrder<T> {
  readonly #handle: (message: T) => void | Promise<void>;
  readonly #onChange: () => void;
  readonly #held: T[] = [];
  #waiting = false;

  /** `handle` answers with a promise when what comes later has to wait; `onChange` hears when `waiting` has changed. */
  constructor(handle: (message: T) => void | Promise<void>, onChange: () => void) {
    this.#handle = handle;
    this.#onChange = onChange;
  }

  /**
   * Whether messages are being held. Whoever reads the socket must stop meanwhile; what it had read before still comes, and that is
   * the bound on what is held.
   */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** Handles a message, now or when those before it are done. */
  take(message: T): void {
    if (this.#waiting) this.#held.push(message);
    else this.#run(message);
  }

  #run(message: T): void {
    const done = this.#handle(message);
    if (!(done instanceof Promise)) return;
    this.#waiting = true;
    this.#onChange();
    // What rejects here is a defect, and must be seen by the process.
    void done.then(() => this.#release());
  }

  #release(): void {
    this.#waiting = false;
    const held = this.#held.splice(0);
    for (const message of held) this.take(message);
    if (!this.#waiting) this.#onChange();
  }
}
