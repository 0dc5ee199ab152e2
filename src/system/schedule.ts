/** When things happen, as an argument: tests hand in a schedule that they turn by hand. */
export interface Schedule {
  /** After the sockets that are ready now have been read. */
  soon(run: () => void): void
  /** Once, after `ms`; the returned function takes it back. Does not keep the process alive. */
  after(ms: number, run: () => void): () => void
}

export const systemSchedule: Schedule = {
  soon: (run) => {
    setImmediate(run)
  },
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
