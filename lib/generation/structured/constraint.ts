import type { TokenMask } from "../../sampling";
import type { State } from "./automaton";
import type { CompiledForm } from "./compiled_form";

/** Keeps a text in its form: which tokens may come, one after the other. */
export class Constraint {
  private state: State;

  constructor(private readonly compiled: CompiledForm) {
    this.state = compiled.automaton.start;
  }

  /** Whether nothing more may come. */
  get complete(): boolean {
    return this.state.final;
  }

  /** @throws InvalidOptionError when the vocabulary has no token that goes on */
  mask(): TokenMask {
    return this.compiled.maskOf(this.state);
  }

  /** Notes a token that was appended; it must be one that the mask allows. */
  accept(token: number): void {
    const { form, tokenizer, automaton } = this.compiled;
    const control = form.controls?.get(token);
    const bytes = control === undefined ? tokenizer.tokenBytes(token) : Buffer.from(control);
    this.state = automaton.run(this.state, bytes) ?? this.state;
  }

  /** Notes text that came before the constraint did; false, and nothing changed, where the form does not allow it. */
  catchUp(text: Uint8Array): boolean {
    const state = this.compiled.automaton.run(this.state, text);
    if (state) this.state = state;
    return state !== undefined;
  }
}
