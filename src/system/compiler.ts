/**
 * When V8 compiles WebAssembly for speed. It takes the length of jumps for work done, and PostgreSQL's parser is one
 * function of 264 KB that jumps all over itself: a process's first statement already seemed worth it, and V8's helpers
 * took 75 ms and 20 MB for that, beside whatever the statement moved.
 *
 * To be imported before the parser: what is loaded has its budget already.
 */
import { setFlagsFromString } from 'node:v8'

/** Bytes jumped over, as V8 reckons them: spent by some eighty short statements. Its own choice is spent by the first. */
const TIERING_BUDGET = 1_000_000_000

setFlagsFromString(`--wasm-tiering-budget=${TIERING_BUDGET}`)
