/** How long the fault tests run: some rounds with `npm test`, many with `npm run soak`. Seeds are printed. */
const isSoak = process.env['GATEBOOK_SOAK'] === '1'
const SOAK_ROUNDS = Number(process.env['GATEBOOK_ROUNDS'] ?? 500)
const HOURS = 4 * 3600 * 1000

export function rounds(usual: number): number {
  return isSoak ? SOAK_ROUNDS : usual
}

/** GATEBOOK_SEED repeats a run that failed. */
export const SEED = Number(process.env['GATEBOOK_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** Time for so many rounds of about so many milliseconds, on a slow machine. */
export function timeFor(count: number, ms: number): number {
  return isSoak ? HOURS : 60_000 + count * ms * 10
}
