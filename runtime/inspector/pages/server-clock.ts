/**
 * The time of the cluster, by the clock of the viewer and what the server answers to a ping. A viewer's clock may be
 * minutes off, and ages would be too. Pure but for the viewer's clock.
 */
export class ServerClock {
  /** What must be added to the viewer's clock, ms. */
  #offset: number | undefined;

  /**
   * The server read its clock at some time between the two, so the offset lies between two bounds. One that was known
   * before is kept as far as they allow: a slow answer says little.
   *
   * @param sentAt when the question was sent, on the viewer's clock
   * @param serverAt the server's clock, as it answered
   */
  learn(sentAt: number, serverAt: number, receivedAt: number): void {
    const [least, most] = [serverAt - receivedAt, serverAt - sentAt];
    const known = this.#offset ?? (least + most) / 2;
    this.#offset = Math.min(most, Math.max(least, known));
  }

  /** Until the first answer, the viewer's clock. */
  now(): number {
    return Date.now() + Math.round(this.#offset ?? 0);
  }
}
