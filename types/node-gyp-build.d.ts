/** The part of node-gyp-build 4.8 that lib/addon.ts uses; the package has no types of its own. */
declare module "node-gyp-build" {
  const nodeGypBuild: {
    /** Path of the binary that fits this process, for the package in `folder`; throws when there is none. */
    path(folder: string): string;
  };
  export = nodeGypBuild;
}
