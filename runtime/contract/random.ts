/** Chance as a port, so that a seed can replay a run. */
export interface Random {
  /** A ULID whose time part is `wallMs`. */
  ulid(wallMs: number): string;
  /** Uniform in [0, 1). */
  fraction(): number;
}
