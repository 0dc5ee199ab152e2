/** `npm run soak`: the tests that get better with time, for a long time. Seeds are printed where a round fails. */
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Of each fuzz test. */
    seconds: { type: 'string', default: process.env['GATEBOOK_FUZZ_SECONDS'] ?? '600' },
    /** Of each completeness test; thousands unless given. */
    sessions: { type: 'string' },
  },
})

/** Ten minutes of fuzzing a codec, thousands of random sessions, 500 kills and 500 power cuts, a gibibyte by scp and by one message. */
const env = {
  ...process.env,
  GATEBOOK_SOAK: '1',
  GATEBOOK_BULK_MIB: '1024',
  GATEBOOK_FUZZ_SECONDS: values.seconds,
  ...(values.sessions === undefined ? {} : { GATEBOOK_SESSIONS: values.sessions }),
  GATEBOOK_FUZZ_SEED: process.env['GATEBOOK_FUZZ_SEED'] ?? String(Date.now()),
}
const HOURS = 4 * 3600 * 1000
const files =
  positionals.length > 0 ? positionals : ['fuzz', 'faults', 'completeness', 'leaks', 'large', 'ssh/tools']

process.stdout.write(`fuzzing each for ${env.GATEBOOK_FUZZ_SECONDS} s, seed ${env.GATEBOOK_FUZZ_SEED}\n`)
const args = [
  'run',
  '--config',
  'test/vitest.config.ts',
  `--testTimeout=${HOURS}`,
  `--hookTimeout=${HOURS}`,
  ...files,
]
process.exit(spawnSync('vitest', args, { stdio: 'inherit', env }).status ?? 1)
