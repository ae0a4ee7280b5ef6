// The last N rows of numbers, oldest first, in memory that does not grow.

export class Ring {
  private columns: Float64Array[];
  private start = 0;
  private size = 0;

  constructor(
    columns: number,
    readonly capacity: number,
  ) {
    this.columns = Array.from({ length: columns }, () => new Float64Array(capacity));
  }

  get length(): number {
    return this.size;
  }

  /** NaN is a hole. */
  push(row: number[]): void {
    const at = (this.start + this.size) % this.capacity;
    this.columns.forEach((c, i) => (c[at] = row[i] ?? NaN));
    if (this.size < this.capacity) ++this.size;
    else this.start = (this.start + 1) % this.capacity;
  }

  /** Rows as JSON keeps them; `restore` takes them back. */
  save(): (number | null)[][] {
    return this.columns.map((_, i) => this.column(i));
  }

  restore(columns: (number | null)[][]): void {
    const rows = columns[0]?.length ?? 0;
    for (let k = 0; k < rows; ++k) this.push(columns.map((c) => c[k] ?? NaN));
  }

  last(column: number): number {
    if (!this.size) return NaN;
    return this.columns[column]![(this.start + this.size - 1) % this.capacity]!;
  }

  /** A column from the first row whose column 0 is at least `from`; holes are null, for uPlot. */
  column(i: number, from = -Infinity): (number | null)[] {
    const out: (number | null)[] = [];
    for (let k = 0; k < this.size; ++k) {
      const at = (this.start + k) % this.capacity;
      if (this.columns[0]![at]! < from) continue;
      const value = this.columns[i]![at]!;
      out.push(Number.isNaN(value) ? null : value);
    }
    return out;
  }
}
