import { formatBytes } from "../engine";

/** Seconds over which the rate is taken. */
const SPAN = 5;

/** Rate and time left of something that is counted in bytes, from the last few seconds. */
export class Rate {
  private readonly samples: { time: number; bytes: number }[] = [];

  /** "12.0 MiB of 1.1 GiB, 5.2 MiB/s, 3 min 20 s left" */
  describe(received: number, total: number, now = performance.now() / 1000): string {
    this.samples.push({ time: now, bytes: received });
    while (this.samples.length > 2 && now - (this.samples[0]?.time ?? now) > SPAN) this.samples.shift();
    const [first = { time: now, bytes: received }] = this.samples;
    const rate = (received - first.bytes) / Math.max(now - first.time, 1e-9);
    const text = `${formatBytes(received)} of ${formatBytes(total)}`;
    if (now - first.time < 0.2 || rate <= 0) return text;
    return `${text}, ${formatBytes(rate)}/s, ${duration((total - received) / rate)} left`;
  }
}

function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
