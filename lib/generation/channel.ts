interface Waiter<T> {
  resolve: (result: IteratorResult<T, undefined>) => void;
  reject: (error: Error) => void;
}

/**
 * Hands values from one who makes them to one who reads them, and tells the maker when the reader is behind. It ends by
 * `end` (what is buffered is still read) or by `fail` (it is not).
 */
export class Channel<T> {
  private readonly buffer: T[] = [];
  private readonly waiters: Waiter<T>[] = [];
  private ended = false;
  private error: Error | undefined;

  /**
   * @param capacity values that the maker may be ahead
   * @param onDrain called when there is room again after there was none
   */
  constructor(
    private readonly capacity: number,
    private readonly onDrain: () => void,
  ) {}

  /** Whether the maker should go on. */
  get hasRoom(): boolean {
    return this.buffer.length < this.capacity;
  }

  push(value: T): void {
    if (this.ended) return;
    const waiter = this.waiters.shift();
    if (waiter) waiter.resolve({ done: false, value });
    else this.buffer.push(value);
  }

  end(): void {
    this.ended = true;
    for (const { resolve } of this.waiters.splice(0)) resolve({ done: true, value: undefined });
  }

  /** The next read rejects with `error`; those after it are at the end. No effect once all was read. */
  fail(error: Error): void {
    if (this.ended && this.buffer.length === 0) return;
    this.buffer.length = 0;
    const waiter = this.waiters.shift();
    if (waiter) waiter.reject(error);
    else this.error = error;
    this.end();
  }

  /** Throws away what is buffered and ends. */
  discard(): void {
    this.buffer.length = 0;
    this.error = undefined;
    this.end();
  }

  read(): Promise<IteratorResult<T, undefined>> {
    const { error } = this;
    if (error) {
      this.error = undefined;
      return Promise.reject(error);
    }
    const wasFull = !this.hasRoom;
    const value = this.buffer.shift();
    if (value !== undefined) {
      if (wasFull) this.onDrain();
      return Promise.resolve({ done: false, value });
    }
    if (this.ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }
}
