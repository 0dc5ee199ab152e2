/** Opens the book in argv[2] again and makes argv[3] commits of one record each. */
import { openBook } from '../../../src/book/open.ts'
import { newRecord, Store } from '../../../src/book/store.ts'
import { systemRandom } from '../../../src/record/random.ts'

const [, , directory = '', commits = ''] = process.argv
const { db, origin, signer, head } = openBook(directory)
const store = new Store(db, origin, signer, head, {
  random: systemRandom(),
  keep: { records: 1e9, micros: 1e15 },
})
process.stdout.write('begin\n')
for (let k = 0; k < Number(commits); k++) {
  store.append([newRecord({ kind: 'heartbeat', ts: 1 })])
}
process.stdout.write('end\n')
// Not in order: closing would checkpoint, and what is counted is what a commit costs.
process.kill(process.pid, 'SIGKILL')
