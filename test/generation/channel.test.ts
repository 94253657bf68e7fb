import { Channel } from "../../lib/generation/channel";

describe("Channel", () => {
  test("tells when the reader is behind, and when it caught up", async () => {
    const onDrain = jest.fn();
    const channel = new Channel<number>(2, onDrain);
    channel.push(1);
    expect(channel.hasRoom).toBe(true);
    channel.push(2);
    expect(channel.hasRoom).toBe(false);
    expect(await channel.read()).toEqual({ done: false, value: 1 });
    expect(onDrain).toHaveBeenCalledTimes(1);
    expect(await channel.read()).toEqual({ done: false, value: 2 });
    expect(onDrain).toHaveBeenCalledTimes(1);
  });

  test("serves reads that came before the values, in order, and ends them", async () => {
    const channel = new Channel<number>(2, () => undefined);
    const reads = [channel.read(), channel.read(), channel.read()];
    channel.push(1);
    channel.push(2);
    channel.end();
    expect((await Promise.all(reads)).map(({ value }) => value)).toEqual([1, 2, undefined]);
    expect(await channel.read()).toEqual({ done: true, value: undefined });
  });

  test("an error goes before what is buffered and is given once", async () => {
    const channel = new Channel<number>(2, () => undefined);
    channel.push(1);
    channel.fail(new Error("first"));
    channel.fail(new Error("second"));
    await expect(channel.read()).rejects.toThrow("first");
    expect((await channel.read()).done).toBe(true);
  });

  test("what comes after the end is lost", async () => {
    const channel = new Channel<number>(2, () => undefined);
    channel.push(1);
    channel.discard();
    channel.push(2);
    expect((await channel.read()).done).toBe(true);
  });
});
