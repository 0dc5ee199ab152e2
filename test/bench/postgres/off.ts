/** Loaded before the gateway: it does all it does, and what would be recorded goes nowhere. No mode of the product. */
import { RecordedSession } from '../../../src/record/session.ts'

RecordedSession.prototype.record = () => 0
