"""The database: models, and the stores behind the ports. Only this folder knows SQLAlchemy."""
