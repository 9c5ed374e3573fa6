/** What a pasted or chosen import file is. */

/** The server refuses larger bodies; telling at once saves the upload. */
export const IMPORT_BYTES_MAX = 16 * 1024 * 1024

export const CSV_EXAMPLE = `name,address,tier,tags,note
core1.fra,192.0.2.1,standard,core fra,
edge2.muc,2001:db8::2,standard,edge muc,rack 4`

/** Returns the media type of an import text: an array is JSON, all else is CSV. */
export function importType(text: string): 'application/json' | 'text/csv' {
  return text.trimStart().startsWith('[') ? 'application/json' : 'text/csv'
}
