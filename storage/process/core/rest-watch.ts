/**
 * When a process that was busy has come to rest, and may tidy up behind itself. Pure. Its start counts as busy. One that has little to
 * do all the time comes to rest once: what is done then may stop it for a moment, and must not happen to its few clients again and again.
 */
export const restLimits = {
  /** From one look to the next. */
  lookEveryMs: 5_000,
  /** Of one core, all threads together: above this it is busy, */
  busyShare: 0.3,
  /** and up to this it has next to nothing to do. */
  quietShare: 0.1,
  /** So many looks in turn it has had nothing to do. */
  quietLooks: 3,
} as const;

export class RestWatch {
  private wasBusy = true;
  private quiet = 0;

  /** @param share of a core that the process used since the last look. @returns whether it has come to rest with this one. */
  look(share: number): boolean {
    if (share > restLimits.busyShare) this.wasBusy = true;
    this.quiet = share <= restLimits.quietShare ? this.quiet + 1 : 0;
    if (!this.wasBusy || this.quiet < restLimits.quietLooks) return false;
    this.wasBusy = false;
    return true;
  }
}
