/** A port that nobody listens at, as the demo finds one too. */
export { freePort } from '../../src/cli/demo/postgres.ts'
