const DAY = "((0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)";
const DATE = `\\d{4}-${DAY}`;
const TIME = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
const LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?";
const BYTE = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";

/**
 * Formats of strings as regular expressions: each text of one is valid (RFC 3339, 4122, 5321, 1123, 791, 4291, 3986), but
 * rare forms are left out.
 */
export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  "date-time": `${DATE}T${TIME}`,
  duration: "P(\\d{1,3}D(T\\d{1,2}H(\\d{1,2}M)?)?|T\\d{1,3}(H|M|S)|\\d{1,3}(W|M|Y))",
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
  email: `[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@(${LABEL}\\.)+[A-Za-z]{2,10}`,
  hostname: `${LABEL}(\\.${LABEL})*`,
  ipv4: `(${BYTE}\\.){3}${BYTE}`,
  ipv6: "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}",
  uri: `https?://(${LABEL}\\.)+[a-z]{2,10}(/[A-Za-z0-9._~-]+)*/?`,
};
