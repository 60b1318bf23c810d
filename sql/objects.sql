-- What the extension consists of, who may use it, and what it says of itself.
CREATE EXTENSION dsocr;

-- every object has a comment
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS without_comment
FROM pg_depend d
WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dsocr')
  AND d.classid <> 'pg_type'::regclass -- row types, which are members from 18 on
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL;

CREATE VIEW functions AS
SELECT p.*, has_function_privilege('public', p.oid, 'EXECUTE') AS public
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dsocr');

-- what reads images or steers is not for PUBLIC
SELECT proname, provolatile, proparallel, procost, proisstrict AS strict, pg_get_function_arguments(oid) AS arguments
FROM functions WHERE NOT public ORDER BY 1, 6;
-- the others work on what they are given, and may back indexes
SELECT proname, provolatile, proparallel FROM functions WHERE public AND (provolatile <> 'i' OR proparallel <> 's' OR prosecdef) ORDER BY 1;

SELECT name, boot_val, unit, context FROM pg_settings WHERE name LIKE 'dsocr.%' ORDER BY name COLLATE "C";

-- grants
CREATE ROLE regress_dsocr_reader;
CREATE ROLE "regress_dsocr ""manager""";
SET ROLE regress_dsocr_reader;
SELECT dsocr_text(NULL);
SELECT dsocr_grant('regress_dsocr_reader');
RESET ROLE;
SELECT dsocr_grant('regress_dsocr_reader', 'read');
SELECT dsocr_grant('regress_dsocr "manager"', 'manage');
SELECT dsocr_grant('regress_dsocr_reader', 'everything');
SELECT dsocr_grant('regress_dsocr_nobody', 'read');
SELECT r.rolname, string_agg(p.proname, ', ' ORDER BY p.proname) AS may_execute
FROM pg_roles r, functions p
WHERE r.rolname LIKE 'regress_dsocr%' AND NOT public AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
GROUP BY 1 ORDER BY 1;
SET ROLE regress_dsocr_reader;
SELECT dsocr_text(NULL) IS NULL AS may_read;
RESET ROLE;

-- a hostile search_path changes nothing
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.format(text, regprocedure, name) RETURNS text LANGUAGE sql AS $$SELECT 'DROP TABLE x'$$;
CREATE FUNCTION hostile.has_schema_privilege(name, name, text) RETURNS bool LANGUAGE sql AS $$SELECT 1/0 = 1$$;
SET search_path = hostile, public, pg_catalog;
SELECT public.dsocr_grant('regress_dsocr_reader', 'read');
RESET search_path;
DROP SCHEMA hostile CASCADE;

DROP VIEW functions;
-- in a schema of its own, with a name that needs quotes
DROP EXTENSION dsocr;
CREATE SCHEMA "Own ""schema""";
CREATE EXTENSION dsocr SCHEMA "Own ""schema""";
SELECT "Own ""schema""".dsocr_grant('regress_dsocr_reader', 'read');
SELECT has_schema_privilege('regress_dsocr_reader', 'Own "schema"', 'USAGE') AS may_use_schema;
DROP EXTENSION dsocr;
DROP SCHEMA "Own ""schema""" CASCADE;
DROP ROLE regress_dsocr_reader, "regress_dsocr ""manager""";
