/** Token buckets: limits of requests per second, with a burst. The caller passes the time; nothing here waits. */

export class RateLimit {
  readonly #perS: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(perS: number, burst: number, nowMs: number) {
    this.#perS = perS;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** Takes tokens even when there are none: the debt is paid before the next one is given. */
  charge(tokens: number): void {
    this.#tokens -= tokens;
  }

  /** @returns 0 when a token was taken, else the time in ms after which there will be one */
  take(nowMs: number): number {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) / 1_000) * this.#perS);
    this.#atMs = nowMs;
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return 0;
    }
    return Math.ceil(((1 - this.#tokens) / this.#perS) * 1_000);
  }

  isFull(nowMs: number): boolean {
    return this.#tokens + ((nowMs - this.#atMs) / 1_000) * this.#perS >= this.#burst;
  }
}

/** Token buckets by name; full buckets are forgotten, so that the memory stays bounded. */
export class RateLimits {
  readonly #perS: number;
  readonly #burst: number;
  readonly #byName = new Map<string, RateLimit>();

  constructor(perS: number, burst: number) {
    this.#perS = perS;
    this.#burst = burst;
  }

  take(name: string, nowMs: number): number {
    return this.#of(name, nowMs).take(nowMs);
  }

  charge(name: string, tokens: number, nowMs: number): void {
    this.#of(name, nowMs).charge(tokens);
  }

  #of(name: string, nowMs: number): RateLimit {
    let bucket = this.#byName.get(name);
    if (bucket === undefined) {
      if (this.#byName.size >= 1_000) this.#forget(nowMs);
      bucket = new RateLimit(this.#perS, this.#burst, nowMs);
      this.#byName.set(name, bucket);
    }
    return bucket;
  }

  #forget(nowMs: number): void {
    for (const [name, bucket] of this.#byName) if (bucket.isFull(nowMs)) this.#byName.delete(name);
  }
}
