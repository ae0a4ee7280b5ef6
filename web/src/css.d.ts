// Style sheets are bundled by the build; to the type checker they are only names.
declare module '*.css';
