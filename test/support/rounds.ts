/** How long the fault tests run: some rounds with `npm test`, many with GATEBOOK_SOAK=500. Seeds are printed. */
const soak = Number(process.env['GATEBOOK_SOAK'] ?? 0)

export function rounds(usual: number): number {
  return soak > 0 ? soak : usual
}

/** GATEBOOK_SEED repeats a run that failed. */
export const SEED = Number(process.env['GATEBOOK_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** Time for so many rounds of about so many milliseconds, on a slow machine. */
export function timeFor(count: number, ms: number): number {
  return 60_000 + count * ms * 10
}
