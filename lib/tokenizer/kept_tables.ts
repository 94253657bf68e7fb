import type { Table, Tables } from "../files/table_file";

/** What an earlier load kept of a vocabulary, and where this one leaves what it makes. */
export interface KeptTables {
  /** The tables of the same vocabulary; absent: they are made. */
  tables?: Tables;
  /** Called with tables that were made; they are in use and must not be changed. */
  keep?: (tables: Tables) => void;
}

/** The table with a name, of a given kind. @throws RangeError where there is none, or one of another length */
export function tableOf<T extends Table>(
  tables: Tables,
  name: string,
  kind: abstract new (length: number) => T,
  length?: number,
): T {
  const table = tables.get(name);
  if (table instanceof kind && (length === undefined || table.length === length)) return table;
  throw new RangeError(`The table "${name}" is not as it should be`);
}
