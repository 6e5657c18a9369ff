"""The probability that a cluster is found, as a smooth function of its mass, its redshift and the noise around it.

P = c Phi(s ((M500c / M50)^b - 1) / b): the error function, for what a finder measures scatters about a power of the
mass, b, of which 0 stands for the logarithm. The limiting mass M50 is a polynomial in ln(1 + z) times a power of the
noise, the slope s > 0 changes with ln(1 + z), so that P never falls with mass, and c <= 1 is what is found of the most
massive. Fitted by maximum likelihood; priors so wide that any data outweigh them keep what the data do not tell (of a
limit that no injection reaches) finite. The power of the noise is 0 or above.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import optimize, stats

from clusterjax.errors import InputError

Values = Float[np.ndarray, "..."] | float | int  # arrays that broadcast, or one number

PIVOT_MSUN = 3e14
_MAX_DEGREE = 3
# (mean, standard deviation) of the Gaussian priors, and the start of the fit.
_PRIORS = {
    "ln_m50": (0.0, 3.0),  # in units of the pivot
    "ln_m50_power": (0.0, 2.0),  # of each power of ln(1 + z), which runs from -1 to 1
    "ln_slope": (np.log(3.0), 1.0),
    "ln_slope_redshift": (0.0, 1.0),
    "bend": (0.5, 0.7),  # b
    "ceiling": (4.0, 1.5),  # logit: 0.98, within 0.92 and 0.996
    "noise_power": (0.5, 1.0),
}
_LEAST_NOISE_SPREAD = 0.03  # of ln noise over the injections: below it nothing can be said of its power


@dataclasses.dataclass(frozen=True, eq=False)
class CompletenessModel:
    """``parameters``: ln M50 (in 3e14 Msun) as a polynomial of ``degree``, ln slope and its change, b, the
    ceiling's logit, and the power of the noise if ``fits_noise``; with their ``covariance``.

    Redshifts are taken as within ``redshift_range``, that of the injections, beyond which nothing was measured.
    """

    parameters: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    degree: int
    redshift_range: tuple[float, float]
    fits_noise: bool

    @property
    def ceiling(self) -> float:
        """What is found of the most massive clusters."""
        return float(1 / (1 + np.exp(-self.parameters[self.degree + 4])))

    @property
    def bend(self) -> float:
        """b: what a finder measures goes as this power of the mass."""
        return float(self.parameters[self.degree + 3])

    def probability(self, m500c_msun: Values, redshift: Values, noise: Values = 1.0) -> np.ndarray:
        """P(found), with ``noise`` relative to the map's median."""
        return self._evaluate(m500c_msun, redshift, noise)[0]

    def error(self, m500c_msun: Values, redshift: Values, noise: Values = 1.0) -> np.ndarray:
        """Standard deviation of :meth:`probability`, from the covariance of the parameters."""
        gradient = self._evaluate(m500c_msun, redshift, noise)[1]
        return np.asarray(np.sqrt(np.einsum("...p,pq,...q->...", gradient, self.covariance, gradient)))

    def mass_limit(
        self, probability: float | int, redshift: Values, noise: Values = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """(M500c in Msun of which such a part is found, its standard deviation); NaN above the ceiling."""
        redshift, noise = np.broadcast_arrays(np.asarray(redshift, float), np.asarray(noise, float))
        share = probability / self.ceiling
        if not 0 < share < 1:
            return np.full(redshift.shape, np.nan), np.full(redshift.shape, np.nan)
        m50, slope, _ = self._curve(redshift, noise)
        quantile = stats.norm.ppf(share)
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = _unbent(quantile / slope, self.bend)
        mass = PIVOT_MSUN * np.exp(m50 + distance)
        # Where P stays the same as a parameter changes: d ln M = -dP/dparameter / (dP / d ln M).
        _, gradient = self._evaluate(mass, redshift, noise)
        steepness = self.ceiling * slope * np.exp(self.bend * distance) * stats.norm.pdf(quantile)
        change = gradient / np.asarray(steepness)[..., None]
        error = mass * np.sqrt(np.einsum("...p,pq,...q->...", change, self.covariance, change))
        return np.asarray(mass), np.asarray(error)

    def _curve(self, redshift: Values, noise: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ln M50 / pivot, slope, the powers of ln(1 + z))."""
        low, high = np.log1p(self.redshift_range)
        zeta = np.log1p(np.clip(redshift, *self.redshift_range))
        zeta = (2 * zeta - low - high) / max(high - low, 1e-9)
        basis = np.stack([zeta**power for power in range(self.degree + 1)], axis=-1)
        m50 = basis @ self.parameters[: self.degree + 1]
        if self.fits_noise:
            m50 = m50 + self.parameters[-1] * np.log(noise)
        slope = np.exp(self.parameters[self.degree + 1] + self.parameters[self.degree + 2] * zeta)
        return np.asarray(m50), np.asarray(slope), basis

    def _evaluate(self, mass: Values, redshift: Values, noise: Values) -> tuple[np.ndarray, np.ndarray]:
        """(P, its gradient in the parameters)."""
        mass, redshift, noise = np.broadcast_arrays(*(np.asarray(v, float) for v in (mass, redshift, noise)))
        m50, slope, basis = self._curve(redshift, noise)
        distance = np.log(mass / PIVOT_MSUN) - m50
        bent, by_distance, by_bend = _bent(distance, self.bend)
        argument = slope * bent
        cumulative, ceiling = stats.norm.cdf(argument), self.ceiling
        density = ceiling * stats.norm.pdf(argument)
        zeta = basis[..., 1] if self.degree else np.zeros_like(argument)
        parts = [
            -(density * slope * by_distance)[..., None] * basis,
            (density * argument)[..., None],
            (density * argument * zeta)[..., None],
            (density * slope * by_bend)[..., None],
            (cumulative * ceiling * (1 - ceiling))[..., None],
        ]
        if self.fits_noise:
            parts.append((-density * slope * by_distance * np.log(noise))[..., None])
        return np.asarray(ceiling * cumulative), np.concatenate(parts, axis=-1)


_LEAST_BEND = 1e-4  # below it, the first terms of the series


def _bent(distance, bend: float):
    """((e^(b d) - 1) / b, its derivatives in d and in b)."""
    factor = np.exp(np.clip(bend * distance, -50, 50))
    if abs(bend) < _LEAST_BEND:
        return distance + bend * distance**2 / 2, factor, distance**2 / 2 + bend * distance**3 / 3
    bent = (factor - 1) / bend
    return bent, factor, (distance * factor - bent) / bend


def _unbent(bent, bend: float):
    """The inverse, NaN where there is none."""
    if abs(bend) < _LEAST_BEND:
        return bent - bend * bent**2 / 2
    return np.log(np.where(1 + bend * bent > 0, 1 + bend * bent, np.nan)) / bend


def fit_completeness(
    found: Bool[np.ndarray, " n"],
    m500c_msun: Float[np.ndarray, " n"],
    redshift: Float[np.ndarray, " n"],
    noise: Float[np.ndarray, " n"],
) -> CompletenessModel:
    """Fit by maximum likelihood; the covariance is the inverse of the Fisher matrix, with the priors' own.

    The degree in ln(1 + z) is 3, or one less than there are redshifts. Raises :class:`InputError` without injections.
    """
    found = np.asarray(found, bool)
    if not len(found):
        raise InputError("there is nothing to fit a completeness to: no injection lies where the map was searched")
    degree = min(_MAX_DEGREE, len(np.unique(redshift)) - 1)
    fits_noise = bool(np.std(np.log(noise)) > _LEAST_NOISE_SPREAD)
    names = ["ln_m50", *["ln_m50_power"] * degree, "ln_slope", "ln_slope_redshift", "bend", "ceiling"]
    mean, sigma = np.array([_PRIORS[name] for name in [*names, *["noise_power"] * fits_noise]]).T
    blank = CompletenessModel(
        mean, np.diag(sigma**2), degree, (float(np.min(redshift)), float(np.max(redshift))), fits_noise
    )

    def minus_log_posterior(parameters):
        model = dataclasses.replace(blank, parameters=parameters)
        chance, gradient = model._evaluate(m500c_msun, redshift, noise)
        chance = np.clip(chance, 1e-9, 1 - 1e-9)
        pull = (parameters - mean) / sigma
        value = -np.sum(np.log(np.where(found, chance, 1 - chance))) + np.sum(pull**2) / 2
        weight = np.where(found, 1 / chance, -1 / (1 - chance))
        return value, -weight @ gradient + pull / sigma

    start = mean.copy()
    # The mass at which half of the fewest are found, roughly: where found and missed ones balance.
    start[0] = np.mean(np.log(m500c_msun / PIVOT_MSUN)) + (0.5 - np.mean(found))
    # Noise never helps. In the infrared some of what a block's pixels scatter by is galaxies, and a cluster on top of
    # others is found more easily: with a power below 0 any crowded place would count as deep.
    bounds = [(None, None)] * (len(mean) - fits_noise) + [(0.0, None)] * fits_noise
    best = optimize.minimize(
        minus_log_posterior, start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"gtol": 1e-6, "ftol": 1e-13, "maxiter": 2000},
    )  # fmt: skip
    model = dataclasses.replace(blank, parameters=best.x)
    chance, gradient = model._evaluate(m500c_msun, redshift, noise)
    variance = np.clip(chance * (1 - chance), 1e-9, None)
    fisher = np.einsum("np,nq->pq", gradient / variance[:, None], gradient) + np.diag(sigma**-2.0)
    return dataclasses.replace(model, covariance=np.linalg.inv(fisher))


@dataclasses.dataclass(frozen=True)
class Fit:
    """How well a model describes what it was fitted to: the binomial deviance of the cells, and how often a draw from
    the model itself, fitted anew, deviates more."""

    deviance: float
    num_cells: int
    p_value: float
    bootstrap_covariance: Float[np.ndarray, "p p"]


def goodness_of_fit(
    model: CompletenessModel,
    found: Bool[np.ndarray, " n"],
    m500c_msun: Float[np.ndarray, " n"],
    redshift: Float[np.ndarray, " n"],
    noise: Float[np.ndarray, " n"],
    *,
    draws: int = 100,
    seed: int = 0,
) -> Fit:
    """By parametric bootstrap over the cells of equal mass and redshift; its parameters' covariance comes with it."""
    cells = np.unique(np.stack([m500c_msun, redshift]), axis=1, return_inverse=True)[1].ravel()
    rng = np.random.default_rng([seed, 7_011])
    chance = model.probability(m500c_msun, redshift, noise)
    deviance = _deviance(found, chance, cells)
    drawn = np.zeros(draws)
    parameters = np.zeros((draws, len(model.parameters)))
    for draw in range(draws):
        fake = rng.random(len(chance)) < chance
        refit = fit_completeness(fake, m500c_msun, redshift, noise)
        drawn[draw] = _deviance(fake, refit.probability(m500c_msun, redshift, noise), cells)
        parameters[draw] = refit.parameters
    p_value = (1 + np.sum(drawn >= deviance)) / (1 + draws)
    return Fit(deviance, int(cells.max()) + 1, float(p_value), np.cov(parameters.T))


def _deviance(found, chance: np.ndarray, cells: np.ndarray) -> float:
    """Twice the log-likelihood ratio of the cells' own fractions to their mean probabilities."""
    number = np.bincount(cells)
    hits, expected = np.bincount(cells, found), np.bincount(cells, chance)
    expected = np.clip(expected, 1e-9, number - 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [
            np.where(k > 0, k * np.log(k / e), 0.0) for k, e in ((hits, expected), (number - hits, number - expected))
        ]
    return float(2 * np.sum(parts))


def binomial_interval(found: int, number: int, *, method: str = "wilson") -> tuple[float, float]:
    """The 68.3 % interval of a fraction: Wilson's, or Clopper and Pearson's (``exact``); 0 to 1 without any."""
    if not number:
        return 0.0, 1.0
    interval = stats.binomtest(int(found), int(number)).proportion_ci(0.6827, method=method)
    return float(interval.low), float(interval.high)
