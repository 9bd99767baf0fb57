import { InputError } from '../../core/errors.js'

/** The folder, or a file in it, is not one that init works on. Nothing was changed. */
export function refuse(path: string, message: string, cause?: unknown): InputError {
  const options = cause === undefined ? undefined : { cause }
  return new InputError('WAYBILL_INIT_REFUSED', 'waybill init changed nothing:', [{ path, message }], options)
}
