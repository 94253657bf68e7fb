const WIDTH = 30;

/** A bar, or a word, on the last line of a terminal; nothing anywhere else. */
export class Progress {
  private shown = "";

  constructor(
    private readonly label: string,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {}

  /** Shows the share done, 0 to 1, and what there is to say about it. */
  share(share: number, note = ""): void {
    const full = Math.round(Math.min(Math.max(share, 0), 1) * WIDTH);
    const percent = String(Math.floor(share * 100)).padStart(3);
    this.show(
      `${this.label} [${"#".repeat(full)}${" ".repeat(WIDTH - full)}] ${percent} %${note === "" ? "" : `  ${note}`}`,
    );
  }

  /** Shows what is being done. */
  step(step: string): void {
    this.show(`${this.label}: ${step}`);
  }

  /** Takes it away. */
  clear(): void {
    if (this.shown !== "") this.stream.write("\r\u001b[K");
    this.shown = "";
  }

  private show(text: string): void {
    if (!this.stream.isTTY || text === this.shown) return;
    this.shown = text;
    this.stream.write(`\r\u001b[K${text}`);
  }
}
