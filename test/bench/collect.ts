/**
 * Loaded before a gateway whose memory is measured: collects all garbage of the main thread when it is told to, and
 * empties pages of the heap that are hardly used. V8 does both by itself, but not before work has stopped for a while;
 * without it what a storm of logins left behind hides what a session holds, and no two readings agree.
 */
const { gc } = globalThis
if (gc === undefined) throw new Error('needs --expose-gc')
/** One round moves what the next one finds together. */
const ROUNDS = 3
process.on('SIGUSR2', () => {
  for (let round = 0; round < ROUNDS; round++) gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
})
