export { benchModel, type BandwidthResult, type BenchOptions, type BenchReport, type BenchResult } from "./bench_model";
export { measurePerplexity, type PerplexityOptions, type PerplexityResult } from "./perplexity";
